//! From a result to the final labels and annotations.

use watchfire_model::{ALERT_NAME_LABEL, Labels, METRIC_NAME_LABEL, Severity, Timestamp};
use watchfire_template::prometheus::{RuleData, RuleTemplate};

use crate::{Instance, Rule};

/// The label that plugins set where the rule does not, and that rules with several severities set.
pub(crate) const SEVERITY_LABEL: &str = "severity";
/// The annotation that holds what a plugin says about a series.
const FINDING_ANNOTATION: &str = "finding";

/// One element of a result.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    /// What a plugin adds.
    pub(crate) finding: Option<(Severity, String)>,
}

/// What templates see beside the element.
pub(crate) struct Surroundings<'a> {
    pub(crate) at: Timestamp,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
}

/// Answers the queries that templates make.
pub(crate) type TemplateQuery<'a> = dyn FnMut(&str) -> Result<Vec<(Labels, f64)>, String> + 'a;

/// Expands the templates of one rule for one element after the other.
pub(crate) struct Labeler<'r, 'q> {
    pub(crate) rule: &'r Rule,
    pub(crate) surroundings: Surroundings<'r>,
    pub(crate) query: &'q mut TemplateQuery<'q>,
    /// Texts of templates that failed; the alert goes out with the error in the text's place.
    pub(crate) failures: Vec<String>,
}

impl Labeler<'_, '_> {
    fn expand(&mut self, template: &RuleTemplate, element: &Element) -> String {
        let data = RuleData {
            labels: &element.labels,
            value: element.value,
            external_labels: self.surroundings.external_labels,
            external_url: self.surroundings.external_url,
            at: self.surroundings.at,
        };
        match template.expand(&data, self.query) {
            Ok(text) => text,
            Err(error) => {
                let text = error.to_string();
                if !self.failures.contains(&text) {
                    self.failures.push(text.clone());
                }
                text
            }
        }
    }

    /// The final labels of an instance: templates see the result's labels with `__name__`, which is then dropped; the
    /// rule's labels overwrite; `alertname` wins; an empty value removes a label.
    pub(crate) fn labels(&mut self, element: &Element) -> Labels {
        let mut labels = element.labels.to_builder();
        labels.remove(METRIC_NAME_LABEL);
        if let Some((severity, _)) = &element.finding
            && self.plugin_sets_severity(element)
        {
            labels.set(SEVERITY_LABEL, severity.as_str());
        }
        let rule = self.rule;
        for (name, template) in &rule.labels {
            labels.set(name.as_str(), self.expand(template, element));
        }
        labels.set(ALERT_NAME_LABEL, rule.name.as_str());
        labels.build()
    }

    /// Whether the severity is the plugin's to set: neither the rule nor the series has one.
    pub(crate) fn plugin_sets_severity(&self, element: &Element) -> bool {
        self.rule.label(SEVERITY_LABEL).is_none() && element.labels.get(SEVERITY_LABEL).is_none()
    }

    /// The instance for an element.
    pub(crate) fn instance(&mut self, element: &Element) -> Instance {
        let labels = self.labels(element);
        // The rule's own annotations come last, because of equal names the last one counts.
        let finding = element.finding.iter().map(|(_, summary)| (FINDING_ANNOTATION, summary.clone()));
        let own = self.rule.annotations().iter();
        let own = own.map(|(name, template)| (name.as_str(), self.expand(template, element)));
        let annotations = finding.chain(own).collect();
        Instance { labels, annotations, value: element.value }
    }

    /// The label sets under which an instance of a series may exist of which the plugin says nothing now.
    pub(crate) fn possible_labels(&mut self, labels: &Labels, value: f64) -> Vec<Labels> {
        let mut element = Element { labels: labels.clone(), value, finding: None };
        if !self.plugin_sets_severity(&element) {
            return vec![self.labels(&element)];
        }
        let severities = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
        let with = severities.into_iter().map(|severity| {
            element.finding = Some((severity, String::new()));
            self.labels(&element)
        });
        with.collect()
    }
}
