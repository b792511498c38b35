"""The parts of the dashboards: panels, variables and links.

A dashboard is a list of rows, and a row a title with its panels. Titles of panels are questions, or name what the panel
shows. Each panel has a description, a unit, and links to the runbooks of its alerts.
"""

import alerts

SCHEMA_VERSION = 42
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The series of the chosen instances, and those of the whole job.
OURS = 'job=~"$job",instance=~"$instance"'
JOB = 'job=~"$job"'
THIS = OURS + ',webhook="$webhook"'
WIDTH = 24

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
STATES = {0: ("closed", GREEN), 1: ("half open", YELLOW), 2: ("open", RED), 3: ("disabled", "purple")}
YES_NO = {0: ("no", RED), 1: ("yes", GREEN)}


def query(expr, legend="", fmt="time_series", instant=False):
    return {"expr": expr, "legend": legend, "format": fmt, "instant": instant}


def quantiles(histogram, by=""):
    """Returns the queries of a histogram's median, 95th and 99th percentile."""
    rate = f"rate({histogram}[$__rate_interval])"
    return [query(f"histogram_quantile({q}, sum by (le{by}) ({rate}))", f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)]


def thresholds(*steps):
    """Returns thresholds: a colour, then pairs of a bound and the colour from there on."""
    first, *rest = steps
    return {"mode": "absolute", "steps": [{"value": None, "color": first}] + [
        {"value": bound, "color": color} for bound, color in rest]}


def mapping(values):
    return [{"type": "value", "options": {
        str(value): {"text": text, "color": color, "index": index} for index, (value, (text, color)) in enumerate(values.items())}}]


def panel(kind, title, description, queries, *, unit="short", steps=(BLUE,), width=8, height=8, runbooks=(),
          values=None, stacked=False, least=0, overrides=(), transformations=(), options=None, decimals=None):
    defaults = {"unit": unit, "thresholds": thresholds(*steps), "mappings": mapping(values) if values else []}
    if decimals is not None:
        defaults["decimals"] = decimals
    if kind == "timeseries":
        if least is not None:
            defaults["min"] = least
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 10, "showPoints": "never",
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if len(steps) > 1 else "off"},
        }
    elif kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
    return {
        "kind": kind, "title": title, "description": description, "queries": queries, "width": width, "height": height,
        "runbooks": runbooks, "transformations": list(transformations),
        "options": {**OPTIONS[kind], **(options or {})},
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
    }


def series(title, description, queries, **keys):
    return panel("timeseries", title, description, queries, **keys)


def stat(title, description, expr, **keys):
    return panel("stat", title, description, [query(expr, instant=True)], **{"width": 4, "height": 4, **keys})


def table(title, description, queries, *, hidden=(), renamed=None, units=None, sort=None, colored=None, linked=None, **keys):
    """A table with one row for each combination of labels, and a column for each query."""
    overrides = [by_name(name, ("unit", unit)) for name, unit in (units or {}).items()]
    for name, (values, steps) in (colored or {}).items():
        overrides.append(by_name(
            name, ("mappings", mapping(values) if values else []), ("thresholds", thresholds(*steps)),
            ("custom.cellOptions", {"type": "color-text"})))
    for name, (text, url) in (linked or {}).items():
        overrides.append(by_name(name, ("links", [{"title": text, "url": url}])))
    steps = [{"id": "merge", "options": {}}] if len(queries) > 1 else []
    steps.append({"id": "organize", "options": {
        "excludeByName": {name: True for name in ("Time", "__name__", *hidden)}, "indexByName": {}, "renameByName": renamed or {}}})
    options = {"sortBy": [{"displayName": sort, "desc": True}]} if sort else {}
    return panel("table", title, description, [{**it, "format": "table", "instant": True} for it in queries],
                 overrides=overrides, transformations=steps, options=options, **{"width": 12, **keys})


def heatmap(title, description, expr, *, unit="s", **keys):
    shown = panel("heatmap", title, description, [query(expr, "{{le}}", "heatmap")], unit="short", **keys)
    shown["options"] = {**shown["options"], "yAxis": {"unit": unit, "axisPlacement": "left"}}
    return shown


def by_name(name, *properties):
    return {"matcher": {"id": "byName", "options": name},
            "properties": [{"id": key, "value": value} for key, value in properties]}


OPTIONS = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "graphMode": "none", "colorMode": "background", "justifyMode": "auto", "textMode": "auto", "wideLayout": True,
        "showPercentChange": False, "percentChangeColorMode": "standard", "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "table": {"frameIndex": 0, "showHeader": True, "cellHeight": "sm"},
    "heatmap": {
        "calculate": False, "cellGap": 1, "showValue": "never",
        "color": {"mode": "scheme", "scheme": "Blues", "fill": "dark-blue", "exponent": 0.5, "steps": 64, "reverse": False},
        "filterValues": {"le": 1e-9}, "rowsFrame": {"layout": "auto"},
        "legend": {"show": True}, "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    },
}


def link(title, url, new_tab=True):
    return {"type": "link", "title": title, "icon": "external link", "tooltip": "", "url": url, "tags": [],
            "asDropdown": False, "targetBlank": new_tab, "includeVars": False, "keepTime": False}


def others():
    """The links to all dashboards of Ringback. They keep the chosen time, job and instance."""
    return {"type": "dashboards", "title": "Ringback", "icon": "external link", "tooltip": "", "url": "", "tags": ["ringback"],
            "asDropdown": False, "targetBlank": False, "includeVars": True, "keepTime": True}


def variable(name, label, definition, *, multi=False):
    everything = {"includeAll": True, "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]}} if multi else {}
    return {
        "type": "query", "name": name, "label": label, "definition": definition, "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": definition, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2, "sort": 1, "regex": "", "hide": 0, "multi": multi, "options": [], **everything,
    }


def dashboard(name, title, description, rows, variables=()):
    panels, y, number = [], 0, 0
    for row_title, row in rows:
        number += 1
        panels.append({"type": "row", "id": number, "title": row_title, "collapsed": False, "panels": [],
                       "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}})
        y, x, tallest = y + 1, 0, 0
        for it in row:
            if x + it["width"] > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            panels.append(placed(it, number, x, y))
            x, tallest = x + it["width"], max(tallest, it["height"])
        y += tallest
    return {
        "uid": f"ringback-{name}", "title": title, "description": description, "tags": ["ringback"],
        "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": True, "graphTooltip": 1, "refresh": "30s",
        "timezone": "browser", "time": {"from": "now-6h", "to": "now"},
        "links": [others(), link("Runbooks", alerts.RUNBOOKS)], "annotations": {"list": []},
        "templating": {"list": [
            {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "hide": 0, "refresh": 1,
             "regex": "", "multi": False, "includeAll": False, "options": []},
            variable("job", "Job", "label_values(ringback_build_info, job)"),
            variable("instance", "Instance", 'label_values(ringback_build_info{job=~"$job"}, instance)', multi=True),
            *variables,
        ]},
        "panels": panels,
    }


def placed(it, number, x, y):
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "editorMode": "code", "expr": target["expr"],
         "legendFormat": target["legend"] or "__auto", "format": target["format"], "instant": target["instant"],
         "range": not target["instant"]}
        for index, target in enumerate(it["queries"])
    ]
    return {
        "type": it["kind"], "id": number, "title": it["title"], "description": it["description"], "datasource": DATASOURCE,
        "gridPos": {"h": it["height"], "w": it["width"], "x": x, "y": y}, "targets": targets,
        "links": [link(f"Runbook {name}", f"{alerts.RUNBOOKS}/{name}.md") for name in it["runbooks"]],
        "transformations": it["transformations"], "options": it["options"], "fieldConfig": it["fieldConfig"],
    }
