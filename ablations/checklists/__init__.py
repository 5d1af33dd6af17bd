"""Checklists for papers, TRIPOD+AI and CLAIM: what a study's files answer, and what authors add."""
