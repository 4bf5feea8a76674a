"""Tables 6, 7 and 8: do synthetic images help what learns from them beside real ones?"""
