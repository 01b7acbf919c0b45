"""External memories: slots that a controller writes to and reads from, as pure functions of flat parameter dicts."""
