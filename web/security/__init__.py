"""Who may ask, how often, and by which way: sign-ins, tokens, second factor, guessing, limits.

`caller` says who makes a request, `sign_in` closes every door that is not named open. What a person
may see of jobs is said by `core.people.accounts`.
"""
