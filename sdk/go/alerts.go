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
	// ID is the notification's, the same at every attempt to deliver it.
	ID string
	// Channel is the kind of the receiver's channel, such as slack.
	Channel string
	// Secrets has a stand-in for each secret that the receiver grants, by name. Where it stands in the address, a header
	// or the body of a request of the plugin's own, the host puts the secret.
	Secrets map[string]string
}

// Method is the method of an HTTP request.
type Method uint8

// In the order of the contract.
const (
	Get Method = iota
	Post
	Put
	Patch
	Delete
)

// Target says where a request of the plugin's own goes; the host sends it if the receiver grants the host.
type Target struct {
	Method Method
	URL    string
}

// Message is a message; the host signs and sends it, and addresses it unless the plugin does.
type Message struct {
	Title string
	// ContentType is the media type of Body.
	ContentType string
	Body        string
	Headers     [][2]string
	// DedupKey replaces the deduplication key; empty to keep it.
	DedupKey string
	// Target says where it goes, if not through the receiver's own channel; nil where it does.
	Target *Target
}
