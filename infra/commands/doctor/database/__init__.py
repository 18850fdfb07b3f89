"""Look at the database that the URLs name, as the roles that use it, and say what the product would stumble over.

What is asked stands beside its judgement in `questions.py`; judgements see rows and no connection.
"""
