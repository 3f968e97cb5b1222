"""`make bundle`, `make lock`, `make audit`: one file with all that a machine without a network needs beside Python."""
