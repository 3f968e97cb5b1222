"""What one tries the gateway with, without a REDCap and without patients; for the demo command and the tests.

It shares no code with the gateway, so that the two cannot be wrong in the same way.

* `samples`: real series summaries from public DICOM data, laid out as a receiver does
* `simulator`: a REDCap server, with the errors and faults of a real one
* `sender`: the programs that carry transfer requests out, working on the simulator and on folders
"""
