"""Arrays and tables in, plotly figures and images out; no Streamlit here."""
