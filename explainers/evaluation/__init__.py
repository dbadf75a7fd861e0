"""How far to believe a map: faithfulness, randomisation, and a table of both."""
