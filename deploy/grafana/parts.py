"""What the dashboards are made of: panels, variables, annotations, and how they look."""

DATASOURCE = {"type": "prometheus", "uid": "orderflow-prometheus"}

GREEN, YELLOW, RED, BLUE, GREY = "green", "#EAB839", "red", "blue", "text"

# What a value of -1 stands for in the queries below; Grafana shows the words.
NOTHING = -1


# --- what several panels ask for ---


def lag(matchers):
    """The lag of each group; -1 where it is not known, which must not look like 0."""
    return (
        f"max by (group) (stream_group_lag{{{matchers}}}) "
        f"or (min by (group) (stream_group_lag_known{{{matchers}}}) == 0) - 1"
    )


def until_trim(matchers):
    """Seconds until retention may take something from a group; -1 where nothing is threatened. Without an active
    reaper there is neither: nobody knows."""
    return (
        f"min by (group) (stream_seconds_until_trim{{{matchers}}}) "
        f"or min by (group) (stream_group_lag_known{{{matchers}}}) * 0 - 1"
    )


def rate(selector, by=""):
    """Events a second of a counter, summed."""
    return f"sum {f'by ({by}) ' if by else ''}(rate({selector}[$__rate_interval]))"


def quantile(share, histogram, matchers="", by=""):
    """A quantile of a histogram."""
    by = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket{{{matchers}}}', by)})"


def cores(matchers=""):
    """Cores that each process uses. Over two minutes, since a process tells whole seconds of processor time."""
    return f"rate(process_cpu_seconds_total{{{matchers}}}[2m])"


def of_service(expression, services):
    """A series of a process, with the name of its service."""
    return (
        f"{expression} * on (instance) group_left (service) "
        f'max by (instance, service) (build_info{{service=~"{services}"}})'
    )


# Deliveries that came to nothing. `released` is none: a drain gives back what was not started.
FAILED_DELIVERIES = 'outcome=~"retried|dead_lettered|ownership_lost|abandoned"'


# --- queries, mappings, thresholds ---


def query(expression, legend="", instant=False):
    """One query of a panel, and what its lines are called."""
    return {"expression": expression, "legend": legend, "instant": instant}


def words(**texts):
    """A mapping of values to words: words(_0=("none", RED)). An underscore keeps the name a name, `m` is a minus."""
    value = lambda name: name.removeprefix("_").replace("m", "-")
    options = {value(name): {"index": at, "text": text, "color": color} for at, (name, (text, color)) in enumerate(texts.items())}
    return [{"type": "value", "options": options}]


UNKNOWN = words(_m1=("unknown", YELLOW))
NOT_THREATENED = words(_m1=("nothing", GREEN))


def steps(first, *others):
    """Thresholds: the colour from the beginning, then (value, colour) from there on."""
    return {"mode": "absolute", "steps": [{"color": first, "value": None}] + [{"color": c, "value": v} for v, c in others]}


CALM = steps(GREEN)
BAD_FROM_ONE = steps(GREEN, (1, RED))


def runbook(anchor):
    """A link to what to do. Where the runbook is, the hidden variable `runbook` says."""
    return {"title": "Runbook", "url": f"${{runbook}}#{anchor}", "targetBlank": True}


def console(view, title="Console"):
    """A link to a view of the console. Where that is, the hidden variable `console` says."""
    return {"title": title, "url": f"${{console}}/#/{view}", "targetBlank": True}


# --- panels ---


def _panel(kind, title, description, unit, queries, width, height, links, options, defaults, overrides=(), **others):
    targets = [
        {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": one["expression"],
            "format": "table" if kind == "table" else "time_series",
            "instant": one["instant"] or kind == "table",
            "range": not (one["instant"] or kind == "table"),
            "legendFormat": one["legend"],
            "refId": chr(ord("A") + at),
        }
        for at, one in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "gridPos": {"w": width, "h": height},
        "links": list(links),
        "options": options,
        "fieldConfig": {"defaults": {"unit": unit, **defaults}, "overrides": list(overrides)},
        **others,
    }


def _named(name, *properties):
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": i, "value": v} for i, v in properties]}


def series(title, description, unit, *queries, width=8, height=8, links=(), colors=None, limits=None, stack=False, table=False, top=None):
    """Lines over time. `colors` gives lines that mean the same everywhere the same colour; `limits` draws thresholds; `stack`
    is for parts of a whole; `table` lists last and greatest values of many lines."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stack else 6,
        "showPoints": "auto",
        "spanNulls": False,
        "axisSoftMin": 0,
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic-by-name"}, "min": 0, "thresholds": limits or CALM}
    if top is not None:
        defaults["max"] = top
    options = {
        "legend": {
            "displayMode": "table" if table else "list",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"] if table else [],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    fixed = [_named(name, ("color", {"mode": "fixed", "fixedColor": color})) for name, color in (colors or {}).items()]
    return _panel("timeseries", title, description, unit, queries, width, height, links, options, defaults, fixed)


def stat(title, description, unit, *queries, width=4, height=4, links=(), limits=CALM, mappings=(), reduce="lastNotNull", spark=False):
    """A few large figures, green, yellow or red."""
    options = {
        "colorMode": "value",
        "graphMode": "area" if spark else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": [reduce], "fields": "", "values": False},
    }
    defaults = {"color": {"mode": "thresholds"}, "thresholds": limits, "mappings": list(mappings)}
    return _panel("stat", title, description, unit, queries, width, height, links, options, defaults)


def timeline(title, description, mappings, *queries, width=8, height=6, links=()):
    """States over time, in words."""
    options = {
        "showValue": "never",
        "rowHeight": 0.8,
        "mergeValues": True,
        "alignValue": "left",
        "perPage": 20,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = {"custom": {"fillOpacity": 75, "lineWidth": 0}, "color": {"mode": "thresholds"}, "thresholds": steps(GREY), "mappings": mappings}
    return _panel("state-timeline", title, description, "none", queries, width, height, links, options, defaults)


def table(title, description, columns, *, key, width=24, height=7, links=(), key_links=()):
    """A row for each value of the label `key`. Columns: (name, query, unit, thresholds, mappings)."""
    letters = [chr(ord("A") + at) for at in range(len(columns))]
    name = key.capitalize()
    renamed = {key: name} | {f"Value #{letter}": column[0] for letter, column in zip(letters, columns)}
    overrides = [
        _named(
            title,
            ("unit", unit),
            ("thresholds", limits),
            ("mappings", list(mappings)),
            ("custom.cellOptions", {"type": "color-text"}),
        )
        for title, _, unit, limits, mappings in columns
    ]
    overrides.append(_named(name, ("links", list(key_links))))
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {name: at for at, name in enumerate(renamed)},
        "renameByName": renamed,
    }
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "sortBy": [{"displayName": name, "desc": False}],
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": []},
    }
    defaults = {"custom": {"align": "auto", "filterable": False, "inspect": False}, "color": {"mode": "thresholds"}, "thresholds": CALM}
    queries = [query(expression, instant=True) for _, expression, _, _, _ in columns]
    return _panel(
        "table", title, description, "none", queries, width, height, links, options, defaults, overrides,
        transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": organize}],
    )


# --- variables, annotations, dashboards ---


def _choice(name, label, description, expression, several):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "query": {"query": expression, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": ".*" if several else None,
        "current": {"text": "All", "value": "$__all"} if several else {},
        "hide": 0,
    }


STREAM = _choice("stream", "Stream", "The stream's key", "label_values(stream_length, stream)", False)


def group_of(selector):
    """The variable `group`: groups that a metric knows."""
    return _choice("group", "Group", "Consumer groups", f"label_values({selector}, group)", True)


def replica_of(selector):
    """The variable `replica`: processes that show a metric."""
    return _choice("replica", "Replica", "Processes, by the address of their ops port", f"label_values({selector}, instance)", True)


def _address(name, label, description, value):
    chosen = {"text": value, "value": value, "selected": True}
    return {"type": "textbox", "name": name, "label": label, "description": description, "query": value, "current": chosen, "options": [chosen], "hide": 2}


ADDRESSES = [
    _address("console", "Console", "Where the console is, as the reader's browser reaches it", "http://127.0.0.1:8788"),
    _address("runbook", "Runbook", "Where docs/RUNBOOK.md is served, as the reader's browser reaches it", "/public/orderflow/RUNBOOK.txt"),
]


def _annotation(name, color, expression, title, text, tags):
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expression,
        "step": "15s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": tags,
        "useValueForTime": False,
    }


# Each is true for the minute after the change. Looking back over several minutes keeps a restart, and a gap in what was
# scraped, from looking like a deploy; the price is that going back to a revision that ran within those minutes is not
# marked.
ANNOTATIONS = [
    _annotation(
        "Deploys",
        "blue",
        "group by (service, version, revision) (build_info) "
        "unless group by (service, version, revision) (last_over_time(build_info[10m] offset 1m))",
        "{{service}} {{version}}",
        "revision {{revision}}",
        "service",
    ),
    _annotation(
        "Reaper leader changes",
        "purple",
        "(reaper_leader == 1) unless (reaper_leader offset 1m == 1)",
        "{{instance}} is the active reaper",
        "Group figures come from this reaper from here on.",
        "instance",
    ),
]


def board(name, title, description, variables, panels, refresh="10s"):
    """A dashboard: panels flow from left to right, and each row is as high as its first panel."""
    x = y = height = 0
    for at, panel in enumerate(panels, start=1):
        place = panel["gridPos"]
        if x + place["w"] > 24:
            x, y = 0, y + height
        if x == 0:
            height = place["h"]
        assert place["h"] == height, f"{name}: {panel['title']} is not as high as its row"
        panel["id"] = at
        panel["gridPos"] = {"x": x, "y": y, **place}
        x += place["w"]
    return {
        "uid": f"orderflow-{name}",
        "title": title,
        "description": description,
        "tags": ["orderflow"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": refresh,
        "time": {"from": "now-30m", "to": "now"},
        "timepicker": {},
        "links": [
            {
                "title": "Orderflow",
                "type": "dashboards",
                "tags": ["orderflow"],
                "icon": "dashboard",
                "tooltip": "",
                "url": "",
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            },
            {
                "title": "Console",
                "type": "link",
                "tags": [],
                "icon": "external link",
                "tooltip": "See and move what these figures are about",
                "url": "${console}/",
                "asDropdown": False,
                "includeVars": False,
                "keepTime": False,
                "targetBlank": True,
            },
        ],
        "templating": {"list": [*variables, *ADDRESSES]},
        "annotations": {"list": ANNOTATIONS},
        "panels": panels,
    }
