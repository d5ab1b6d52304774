"""Bytes by content: blobs named by their BLAKE3 digest, trees of them, and collection of what nothing points at.

Datasets, models, artifacts, code, environments, reports and prediction-log segments are all kept this one way, which
gives de-duplication, verification and caching once. Importing this package loads neither NumPy nor the hash function.
"""
