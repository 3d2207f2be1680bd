"""Which language a question is in, told by its function words."""

from __future__ import annotations

from functools import cache

from generator.domain.terms import fold, words

FALLBACK = "en"

# Function words and question words: they tell the language and say nothing of the subject. Words that ask for a kind of answer ("many",
# "long") stand here too, because a passage that answers rarely repeats them.
_FUNCTION_WORDS = {
    "en": """
        use used uses using happen happens happened know quick quickly exactly still back amount number duration period a about
        above after again all also am an and any anyone anything are as at be because been before being below between both but
        by can could did do does doing done each either else ever every few for from further get gets give given go had has have
        having he her here hers him his how i if in into is it its itself just let like made make many may me might mine more
        most much must my need no nor not of off on once one only or other our ours out over own per please put same say says
        shall she should so some someone something such take tell than that the their theirs them then there these they thing
        this those through to too under until up upon us very was we were what when where whether which while who whom whose why
        will with within without would you your yours long often old big far soon fast s t d ll re ve m don doesn isn aren
    """,
    "fr": """
        ensuite quelqu montant nombre durée délai temps dois doit devez devons peux pouvez pouvons utiliser sert servent servir
        arrive arriver savoir a à afin ai aie ait alors après as au aucun aucune aussi autre autres aux avant avec avez avoir
        avons ayant bien c ça car ce ceci cela celle celles celui ces cet cette ceux chaque chez combien comme comment d dans de
        depuis des dès dessous dessus deux dit doivent donc dont du durant elle elles en encore entre es est et été étant être
        eu eux fait faire faut font il ils j je jusqu jusque l la là laquelle le lequel les lesquelles lesquels leur leurs lors
        lorsque lui m ma mais me même mêmes mes moi mon n ne ni non nos notre nous on ont ou où par pas pendant peu peut peuvent
        plus pour pourquoi puis qu quand que quel quelle quelles quels qui quoi s sa sans se selon sera serait ses si soi soit
        son sont sous suis sur t ta te tes toi ton tous tout toute toutes très tu un une va vers veut voici voilà vont vos votre
        vous y longtemps souvent
    """,
    "de": """
        aber alle als also am an auch auf aus bei bin bis bist da damit dann das dass dein dem den denn der des dich die dies
        diese dieser dir doch dort du durch ein eine einem einen einer er es für habe haben hat hatte ich ihr im in ist ja kann
        kein keine können man mein mich mir mit muss nach nicht noch nur oder ob ohne sein seine sich sie sind so über um und
        uns unser viel viele vom von vor wann war warum was welche welcher welches wenn wer werden wie wir wird wo zu zum zur
    """,
    "es": """
        a al algo ante antes como con contra cual cuál cuáles cuando cuándo cuánto cuánta cuántos cuántas de del desde donde
        dónde dos el él ella ellos en entre era es esa ese eso esta está este esto fue ha hacer hasta hay la las le les lo los
        más me mi muy no nos o para pero por porque puede que qué quien quién se ser si sí sin sobre son su sus también te tiene
        tienen tu un una uno y ya
    """,
    "it": """
        a ad al alla alle anche che chi ci come con cosa cui da dal dalla dei del della delle di dove e è ed era essere fa gli
        ha hanno i il in io la le lo loro ma mi nel nella no noi non o ogni per perché più può qual quale quali quando quanta
        quante quanti quanto quella questo se si sono su sua sul suo tra tu un una uno vi voi
    """,
    "nl": """
        aan al als bij dan dat de der deze die dit door een en er gaat geen had heb hebben heeft het hij hoe hoeveel hun ik in
        is ja je kan kunnen lang maar me meer men met mijn moet na naar niet nog nu of om ook op over te tot u uit van veel voor
        waar waarom wanneer was wat we welk welke wie wij wordt worden zal ze zich zij zijn zo zonder
    """,
    "pt": """
        a ao aos as à às até com como da das de do dos e é ela ele em entre era essa esse esta está este eu foi há isso já lhe
        mais mas me mesmo meu minha muito na não nas no nos nós o onde os ou para pela pelo por porque qual quais quando quanto
        quantos quantas que quem se sem ser seu sua são também te tem têm um uma você
    """,
}
LANGUAGES = tuple(_FUNCTION_WORDS)
# Words that stand in questions on any subject: a text that answers often says the same in others.
_LIGHT_WORDS = {
    "en": """
        employee employees employer colleague colleagues able allow allowed already another answer apply ask available bad
        become begin best better big bring business buy call called change check choose close come company correct count current
        currently cut day days different difference down drop easy end evening everyone explain extra fail fake fall find first
        follow free full general good great group grow hand hard hear help high hold hour hours include included instead job
        keep kind last late later learn leave less let life line link list little live look lose low main matter maximum mean
        means minimum minute minutes money month months morning move name need new next night normal offer ok open order part
        pay people permitted person place plan play possible problem provide quick ready really reason receive right run second
        see send set several short show side simple skip small sort spend staff start stay step stop sure system talk thing
        think time times total try turn type understand usual usually wait want watch way week weeks whole work working works
        write wrong year years yet
    """,
    "fr": """
        employé employés employeur salarié salariés collègue collègues acheter aider ajouter aller an ans année années appeler
        appliquer apporter arrêter arrête attendre besoin bon bonne cas certain certaine changer chercher choisir chose choses
        commencer comprendre compte conserver continuer côté créer demander demande dernier dernière devenir différence
        différent donner durer entreprise envoyer espérer essayer fermer fermé fin finir gagner gagne garder grand grande gros
        heure heures homme important indiquer jour journée jours lieu lire long maison manière mettre mois moment monde montrer
        nom nouveau nouvelle obtenir occuper offrir ouvrir parler part partie partir passer pays payer pendant penser perdre
        permettre personne personnes petit petite place point porter possible pouvoir premier première prendre présenter
        problème proposer quelque quelques quitter raison recevoir rendre répondre rester savoir semaine semaines sens service
        signifie signifier site sorte sortir tenir terminer tomber travail travailler travaille trouver type utile venir vie
        vivre voir vouloir vrai
    """,
}


@cache
def function_words(language: str) -> frozenset[str]:
    """The words of ``language`` that say nothing of a subject, folded; none for a language not known here."""
    return frozenset(words(fold(_FUNCTION_WORDS.get(language, ""))))


@cache
def light_words(language: str) -> frozenset[str]:
    """The words of ``language`` that questions on any subject have, folded; none for a language not known here."""
    return frozenset(words(fold(_LIGHT_WORDS.get(language, ""))))


def detect_language(text: str) -> str:
    """The likeliest language of a short text among those known here, as an ISO 639-1 code; English when nothing tells."""
    found = words(fold(text))
    hits = {language: sum(word in function_words(language) for word in found) for language in LANGUAGES}
    best = max(LANGUAGES, key=lambda language: hits[language])
    return best if hits[best] else FALLBACK
