"""Docks for DICOM archives (PACS): series are opened from one, and results sent to one."""
