"""`make lock` and `make bundle`: one file with all that a machine without a network needs beside Python."""
