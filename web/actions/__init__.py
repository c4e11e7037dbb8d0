"""What a person does, in one transaction each, with its entry in the audit trail: for pages and API
alike, which know nothing of each other.
"""
