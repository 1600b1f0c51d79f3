"""How Great Expectations' pages look without the styles they would fetch: its class names, a page's worth of rules."""

STYLE = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --line: #8883; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --warn: #d29922; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
h1, h2, h3, h4, h5, h6 { margin: 0; } h5 { font-size: 1.1rem; } h6, .h6 { font-size: .95rem; font-weight: 600; }
a { color: inherit; }
.navbar { border-bottom: 1px solid var(--line); padding: .3rem 1.5rem; position: static; }
.navbar nav { display: flex; align-items: center; gap: 1.5rem; }
.navbar-brand a { background: none !important; } .navbar-brand a img { visibility: visible !important; }
.breadcrumb { display: flex; gap: .5rem; list-style: none; padding: 0; margin: 0; color: #888; }
.breadcrumb-item + .breadcrumb-item::before { content: "/"; padding-right: .5rem; }
.container-fluid { padding: 0; } body > .container-fluid { padding: 1.5rem; }
body > .container-fluid > .row { display: flex; gap: 2rem; }
body > .container-fluid > .row > .col-lg-2 { flex: 0 0 13rem; }
body > .container-fluid > .row > .col-lg-10 { flex: 1; min-width: 0; }
.sticky .card:first-child { display: none; }
.card-header { padding: .5rem 0; } .nav { list-style: none; padding: 0; margin: 0; }
.nav-link { text-decoration: none; display: block; padding: .15rem .5rem; word-break: normal !important; }
.nav-link:hover { background: var(--soft); }
.lead, .collapse, [data-toggle="collapse"], .d-none:not(.card):not(.breadcrumb), .cooltip .top { display: none; }
.ge-section { margin-bottom: 1.5rem; }
.alert { background: var(--soft); border-radius: .4rem; padding: .6rem 1rem; margin-bottom: .5rem; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .8rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem; border-bottom: 1px solid var(--line); }
td .show-scrollbars { max-height: none; }
td:first-child { white-space: nowrap; }
.col-6 { max-width: 40rem; }
.badge { background: var(--soft); border-radius: .3rem; padding: .05rem .4rem; font: .9em ui-monospace, monospace; }
.text-danger, .text-danger * { color: var(--bad); }
[class*="fa-check-circle"]::before { content: "\\2713"; color: var(--good); font-weight: 700; font-style: normal; }
[class*="fa-times"]::before { content: "\\2717"; color: var(--bad); font-weight: 700; font-style: normal; }
[class*="fa-exclamation"]::before { content: "!"; color: var(--warn); font-weight: 700; font-style: normal; }
"""
