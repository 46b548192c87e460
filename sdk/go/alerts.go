package watchfire

import "time"

// Alert is an alert as routers and formatters see it.
type Alert struct {
	// Fingerprint is the stable id of the label set, as 16 hexadecimal digits.
	Fingerprint string
	// Name is the label alertname.
	Name     string
	Severity Severity
	// Firing is false where the alert is resolved.
	Firing bool
	Starts time.Time
	// Ends is zero while it fires.
	Ends time.Time
	// Value is the rule's value at the last evaluation, nil where there is none.
	Value *float64
	// Summary is the annotation that sums it up.
	Summary      string
	GeneratorURL string
	Labels       map[string]string
	Annotations  map[string]string
}

// Router decides who is told.
type Router interface {
	// Route decides for each alert, in order.
	Route(at time.Time, alerts []Alert) ([]Decision, error)
}

// OfferRouter announces a router; open is called once per route.
func OfferRouter(offer Offer, open func(config []byte) (Router, error)) { Routers.add(offer, open) }

// Decision says where one alert goes.
type Decision struct {
	// Receivers are names; none means the route's own.
	Receivers []string
	// Suppress says why nobody is to be told; empty to tell them.
	Suppress string
	// GroupKey replaces the group labels of the route; empty to keep them.
	GroupKey string
}

// Formatter decides what is said.
type Formatter interface {
	// Format writes the message for an alert group.
	Format(group Group) (Message, error)
}

// OfferFormatter announces a formatter; open is called once per channel of a receiver.
func OfferFormatter(offer Offer, open func(config []byte) (Formatter, error)) { Formatters.add(offer, open) }

// Group is what a message is about.
type Group struct {
	At          time.Time
	Key         string
	Receiver    string
	GroupLabels map[string]string
	// ExternalURL is where a reader reaches this Watchfire.
	ExternalURL string
	// Alerts are the alerts, firing ones first.
	Alerts []Alert
}

// Message is a message; the host addresses, signs and sends it.
type Message struct {
	Title string
	// ContentType is the media type of Body.
	ContentType string
	Body        string
	Headers     [][2]string
	// DedupKey replaces the deduplication key; empty to keep it.
	DedupKey string
}
