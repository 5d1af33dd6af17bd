"""Confirmed models on images that took no part in their study.

The predictions become rows like a study's own, and its tables are made of them by the same
functions: see `ablations.external.evaluated`.
"""
