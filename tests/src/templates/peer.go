// Renders templates as Go's text/template, Prometheus and Alertmanager do: one request in JSON a line, and one answer a line
// back. The data are those of data.rs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/template"
	"time"

	messages "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	rules "github.com/prometheus/prometheus/template"
)

type request struct {
	Kind     string
	Template string
	// The value of a rule's result, as text because JSON has no infinity.
	Value string
}

type answer struct {
	Text  string `json:"text"`
	Error string `json:"error"`
}

var at = time.Date(2024, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// What templates of the language alone work on.
var nested = map[string]any{
	"s":   "héllo <b>&'\"",
	"n":   3,
	"f":   2.5,
	"b":   true,
	"neg": -7,
	"z":   0,
	"e":   "",
	"l":   []any{1, "two", 3.5, nil},
	"sl":  []string{"x", "y z"},
	"el":  []string{},
	"m":   map[string]any{"k": "v", "num": 7, "a": []string{"q"}},
	"sm":  map[string]string{"a": "1", "b": "2"},
	"nil": nil,
	"t":   at,
	"d":   time.Duration(3_500),
	"big": 1e21,
}

const prefix = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

func query(_ context.Context, text string, _ time.Time) (promql.Vector, error) {
	switch text {
	case "up":
		var out promql.Vector
		for i, job := range []string{"db", "api", "web"} {
			series := labels.FromStrings("__name__", "up", "job", job, "__value__", "<"+job+">")
			out = append(out, promql.Sample{Metric: series, F: float64(i) + 0.5})
		}
		return out, nil
	case "none":
		return nil, nil
	}
	return nil, errors.New("no such query")
}

func main() {
	external, err := url.Parse("https://watch.example.org/fire")
	check(err)
	all, err := messages.FromGlobs(nil)
	check(err)
	all.ExternalURL = external
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for in.Scan() {
		var one request
		check(json.Unmarshal(in.Bytes(), &one))
		// A template can run for ever.
		late := time.AfterFunc(time.Minute, func() { os.Exit(3) })
		text, err := render(one, all, external)
		late.Stop()
		// What invalid text there is becomes valid in the same way on both sides.
		reply := answer{Text: strings.ToValidUTF8(text, "\uFFFD")}
		if err != nil {
			reply = answer{Error: strings.ToValidUTF8(err.Error(), "\uFFFD")}
		}
		check(out.Encode(reply))
	}
	check(in.Err())
}

func render(one request, all *messages.Template, external *url.URL) (string, error) {
	switch one.Kind {
	case "language":
		parsed, err := template.New("t").Option("missingkey=zero").Parse(one.Template)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		err = parsed.Execute(&out, nested)
		return out.String(), err
	case "rule":
		value, err := strconv.ParseFloat(one.Value, 64)
		check(err)
		data := rules.AlertTemplateData(
			map[string]string{"__name__": "requests", "instance": "host.example.org:9090", "job": "api", "num": "42"},
			map[string]string{"region": "eu-1"}, external.String(), promql.Sample{F: value})
		expander := rules.NewTemplateExpander(context.Background(), prefix+one.Template, "__alert_A", data,
			model.TimeFromUnixNano(at.UnixNano()), query, external, nil)
		return expander.Expand()
	case "message":
		return all.ExecuteTextString(one.Template, message())
	case "page":
		return all.ExecuteHTMLString(one.Template, message())
	}
	return "", errors.New("no such kind")
}

func message() *messages.Data {
	common := messages.KV{"job": "api", "team": "<infra> & \"co\""}
	return &messages.Data{
		Receiver: "all", Status: "firing", ExternalURL: "https://watch.example.org/fire",
		NotificationReason: "first notification",
		GroupLabels:        messages.KV{"job": "api"}, CommonLabels: common,
		CommonAnnotations: messages.KV{"summary": "it's <slow>"},
		RouteLabels:       messages.KV{"tier": "1"},
		Alerts: messages.Alerts{
			{Status: "firing", Labels: messages.KV{"alertname": "Slow", "job": "api", "team": common["team"]},
				Annotations: messages.KV{"summary": "it's <slow>"}, StartsAt: at,
				GeneratorURL: "http://prometheus/graph?g0.expr=up+%3D%3D+0&x='y'", Fingerprint: "00d1c2b3a4958677"},
			{Status: "resolved", Labels: messages.KV{"alertname": "Gone", "job": "api", "team": common["team"]},
				Annotations: messages.KV{"summary": "it's <slow>"}, StartsAt: at.Add(-time.Hour), EndsAt: at,
				Fingerprint: "10d1c2b3a4958677"},
		},
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
