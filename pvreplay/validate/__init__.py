"""Is the model true?  Predictions of recorded switches beside what the recorded kernel did.

recording --items--> state stream    --> prediction   (never sees evidence)
                \\--> evidence stream --> what was seen
both, switch by switch --compare--> Result --report--> text, JSON
"""
