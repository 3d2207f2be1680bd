"""The languages whose words are stemmed, and their function words.

A stop word is one that stands in most texts of its language, so that it tells no text from another. Content words that happen to be
frequent are not in these lists.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language with a Snowball stemmer.

    Attributes:
        code: ISO 639-1.
        stemmer: Snowball's name of the algorithm.
        stop_words: lower case, accents as written.
    """

    code: str
    stemmer: str
    stop_words: frozenset[str]


def _language(code: str, stemmer: str, stop_words: str) -> Language:
    return Language(code, stemmer, frozenset(stop_words.split()))


LANGUAGES = {
    language.code: language
    for language in (
        _language(
            "en",
            "english",
            """a about above after again against all also am an and any are aren as at be because been before being below between both but
            by can cannot could couldn d did didn do does doesn doing don down during each few for from further had hadn has
            hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself ll m me
            more most mustn my myself no nor not of off on once only or other ought our ours ourselves out over own re s
            same shan she should shouldn so some such t than that the their theirs them themselves then there these they
            this those through to too under until up upon ve very was wasn we were weren what when where which while who
            whom whose why will with won would wouldn you your yours yourself yourselves""",
        ),
        _language(
            "fr",
            "french",
            """à ai aie aient ait alors as au aucun aucune auquel aura aurait aussi autre autres aux auxquelles auxquels avaient avais
            avait avant avec avez avoir avons ayant c ça car ce ceci cela celle celles celui ces cet cette ceux chaque chez
            ci comme comment d dans de depuis des donc dont du duquel elle elles en encore entre es est et étaient étais
            était étant été être eu eut eux fait fut il ils j je jusqu l la là laquelle le lequel les lesquelles lesquels leur
            leurs lors lorsqu lorsque lui m ma mais me même mêmes mes moi mon n ne ni nos notre nous on ont or ou où par
            parce pas pendant peu peut peuvent plus pour pourquoi puis puisque qu quand que quel quelle quelles quels qui
            quoi s sa sans se sera serait ses si soi soient soit son sont sous sur t ta te tes toi ton tous tout toute
            toutes tu un une vers voici voilà vos votre vous y""",
        ),
        _language(
            "de",
            "german",
            """aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei beim bin bis
            bist da dabei dadurch dafür damit dann das dass daß dein deine deinem deinen deiner dem den denn der deren des
            dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer eines
            er es etwas euch euer eure für gegen habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre
            ihrem ihren ihrer im in indem ins ist jede jedem jeden jeder jedes jene kann kein keine keinem keinen keiner
            können könnte man mein meine meinem meinen meiner mich mir mit muss müssen nach nicht nichts noch nun nur ob
            oder ohne sehr sein seine seinem seinen seiner selbst sich sie sind so solche soll sollen sondern über um und
            uns unser unsere unter viel vom von vor war waren warum was weil welche welchem welchen welcher welches wenn wer
            werden wie wieder will wir wird wo wurde wurden zu zum zur zwar zwischen""",
        ),
        _language(
            "es",
            "spanish",
            """a al algo algunas alguno algunos ante antes aquel aquella aquellos así aunque cada como con contra cual cuál cuales cuando
            cuándo cuyo de del desde donde dónde durante e el él ella ellas ellos en entre era eran es esa esas ese eso esos
            esta está están estar estas este esto estos fue fueron ha haber había han hasta hay la las le les lo los más me
            mi mientras mis mucho muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por
            porque pues que qué quien quién quienes se sea ser si sí sido sin sino sobre son su sus también tan tanto te
            tiene tienen todo todos tras tu tus un una unas uno unos usted ustedes y ya yo""",
        ),
        _language(
            "it",
            "italian",
            """a abbiamo ad agli ai al alla alle allo anche ancora avere aveva c che chi ci cioè come con contro cui d da dagli dai dal
            dalla dalle dallo degli dei del dell della delle dello di dove dopo e ed era erano essere è fra già gli ha hai
            hanno ho i il in io l la le lei li lo loro lui ma me mentre mi mia mie miei mio ne nei negli nel nell nella
            nelle nello noi non nostra nostro o ogni oppure per perché però più poi prima qual quale quali quando quanto
            quella quelle quelli quello questa queste questi questo qui se sé sei senza si sia siamo sono sta stata stati
            stato su sua sue sugli sui sul sull sulla sulle suo suoi tra tu tua tutti tutto un una uno vi voi""",
        ),
        _language(
            "pt",
            "portuguese",
            """a à ao aos aquela aquele aqueles as às até cada com como contra da das de dela dele deles depois desde do dos e é ela elas
            ele eles em entre era eram essa essas esse esses esta está estão estas este estes eu foi foram há isso isto já
            lhe lhes mais mas me mesmo meu meus minha muito na nas não nem no nos nós nossa nosso num numa o onde os ou
            outra outras outro outros para pela pelas pelo pelos pode por porque qual quais quando que quem se sem ser será
            seu seus só sob sobre sua suas também tem têm ter teve todo todos tu um uma umas uns você vocês""",
        ),
        _language(
            "nl",
            "dutch",
            """aan al alle als alleen ander andere ben bij daar dan dat de deze die dit doch doen door dus een eens en er ge geen had heb
            hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je jij kan kon kunnen maar me meer men met mij
            mijn moet moeten na naar niet niets nog nu of om omdat ons onze ook op over reeds te tegen tot tussen u uit uw
            van veel voor waar waarom wanneer want waren was wat we wel welke werd wezen wie wij wil worden wordt zal ze zei
            zelf zich zij zijn zo zonder zou""",
        ),
    )
}
