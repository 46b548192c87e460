// Package export_watchfire_plugin_router hands calls to the routers that were offered.
package export_watchfire_plugin_router

import (
	"time"

	watchfire "MODULE/watchfire"
	"MODULE/watchfire/convert"
	alerts "MODULE/watchfire/watchfire_plugin_alerts"
	bindings "MODULE/watchfire/watchfire_plugin_router"
	types "MODULE/watchfire/watchfire_plugin_types"

	wit "MODULE/watchfire/wit/types"
)

// Open prepares a router for a route.
func Open(name, config string) wit.Result[uint32, types.PluginError] {
	return convert.Result(watchfire.Routers.Open(name, config))
}

// Route decides for each alert.
func Route(handle uint32, at int64, list []alerts.Alert) wit.Result[[]bindings.Decision, types.PluginError] {
	return convert.Result(route(handle, at, list))
}

func route(handle uint32, at int64, list []alerts.Alert) (decisions []bindings.Decision, err error) {
	defer watchfire.Recover(&err)
	answer, err := watchfire.Routers.Begin(handle, at).Route(time.UnixMilli(at).UTC(), convert.Alerts(list))
	for _, decision := range answer {
		decisions = append(decisions, bindings.Decision{
			Receivers: decision.Receivers,
			Suppress:  convert.Text(decision.Suppress),
			GroupKey:  convert.Text(decision.GroupKey),
		})
	}
	return decisions, err
}

// Close forgets a router.
func Close(handle uint32) { watchfire.Routers.Close(handle) }
