"""Tables 1 and 2 of TC-MGAN."""
