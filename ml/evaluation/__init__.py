"""What a bundle is worth: scores with intervals, outcomes, workload, comparison, the model card.

`choosing` says which images a bundle may be judged by, `judging` asks it, `evaluate` counts, and
`report` writes it down. It never trains, and knows nothing of how a bundle came to be but what the
bundle says.
"""
