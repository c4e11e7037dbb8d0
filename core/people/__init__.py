"""Who may do what: people, their roles, passwords, sign-ins and tokens, and how a person is erased.

`accounts` says what a role allows, `membership` adds and changes people, `sign_ins` keeps what a
browser is signed in by, `erasure` takes a person out of the records. No page and no cookie here.
"""
