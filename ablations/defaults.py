"""What a report holds where nothing else is asked for."""

FORMATS = ("md", "csv", "tex", "figures", "html")
FORMATS_OF_COMPARISONS = ("md", "csv", "tex")
MARGIN = 0.01  # of AUC, within which a difference is taken for none
