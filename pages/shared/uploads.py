"""Uploaded files in memory: Streamlit keeps them until the visitor leaves, also those of forms that are long gone."""

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile


def let_go() -> None:
    """Take the files out of memory whose form was not drawn; to be called once a whole page is drawn."""
    context = get_script_run_ctx()
    manager = context.uploaded_file_mgr if context is not None else None
    if context is None or not isinstance(manager, MemoryUploadedFileManager):
        return
    for key in set(map(str, st.session_state)) - context.shared.widget_user_keys_this_run.snapshot():
        value = st.session_state.get(key)
        for file in value if isinstance(value, list) else [value]:
            if isinstance(file, UploadedFile):
                manager.remove_file(context.session_id, file.file_id)
