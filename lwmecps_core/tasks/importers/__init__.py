"""What others publish or measured, as tasks: traces of load, places and links, descriptions of clusters.

Every importer says in its docstring what it maps, what it assumes and what it drops, and says so in `notes`, with
numbers. Files are read in pieces; what is kept is the load of the stations, never the file.
"""
