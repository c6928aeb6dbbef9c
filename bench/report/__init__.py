"""The comparison report: `python -m bench.report` measures, draws and writes report/index.html and report/report.md.

One module a section, each with a function `section(run)` that returns what `page` renders as HTML and as Markdown.
All figures are computed in that run. To add a section: a module and a row of SECTIONS in `__main__`.
"""
