"""How results look outside a terminal: tables, files, pictures and pages, the same for library and command line."""
