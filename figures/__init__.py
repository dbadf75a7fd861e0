"""Arrays and tables in, plotly figures and pictures out; no Streamlit here."""
