"""What is promised about the corpus: suites in code, run by great-expectations, and checks of sampled media.

Columns and types are the schemas of stages/tables.py; `relations` derives what one table must say about another;
`suites` says what must hold; `checks` runs it and names the rows; `media` looks at the clips themselves.
"""
