"""Clock, ids, processes, back-off, file locks: the floor everything else stands on. Standard library only."""
