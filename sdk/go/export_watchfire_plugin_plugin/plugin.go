// Package export_watchfire_plugin_plugin answers what the plugin offers.
package export_watchfire_plugin_plugin

import (
	watchfire "MODULE/watchfire"
	types "MODULE/watchfire/watchfire_plugin_types"
)

// Describe lists what was offered.
func Describe() []types.Descriptor {
	var list []types.Descriptor
	add := func(kind uint8, offers []watchfire.Offer) {
		for _, offer := range offers {
			list = append(list, types.Descriptor{
				Kind:         kind,
				Name:         offer.Name,
				Summary:      offer.Summary,
				ConfigSchema: offer.Schema,
				StateVersion: offer.StateVersion,
			})
		}
	}
	add(types.KindCondition, watchfire.Conditions.Offers)
	add(types.KindRouter, watchfire.Routers.Offers)
	add(types.KindFormatter, watchfire.Formatters.Offers)
	return list
}
