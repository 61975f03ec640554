"""One file is one data set; its constant ``DATASET`` is a ``regrow.data.spec.DataSet``. Listing finds new files."""
