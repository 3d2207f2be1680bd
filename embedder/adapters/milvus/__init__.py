"""The index in Milvus, or in Milvus Lite."""
