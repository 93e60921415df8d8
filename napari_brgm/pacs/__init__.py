"""DICOM archives (PACS): what they hold is looked up and fetched, and results are sent, each only when a person asks.

    address_book   which archives there are, and how they are spoken to
    archive        what all of them can do; ``opening.open_archive`` gives one of an address
    dimse          C-FIND, C-GET or C-MOVE, C-STORE (pynetdicom)
    web            DICOMweb: QIDO-RS, WADO-RS, STOW-RS (dicomweb-client)

The two libraries come with the extra ``pacs``. They are kept from logging: their messages hold queries, which name
patients.
"""
