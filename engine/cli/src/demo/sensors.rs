//! Real input: this machine's processor, memory, disks, network and load as samples, its processes as events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sysinfo::{Disks, Networks, ProcessRefreshKind, ProcessesToUpdate, System};
use watchfire_model::{Event, FieldValue, Labels, METRIC_NAME_LABEL, Sample, Timestamp};

/// Reads the machine again and again.
pub(crate) struct Sensors {
    system: System,
    disks: Disks,
    networks: Networks,
    processes: BTreeMap<u32, String>,
    host: String,
    /// The folder whose size is watched, because the demo can fill it.
    watched: PathBuf,
}

/// What one reading found.
pub(crate) struct Reading {
    pub(crate) series: Vec<(Labels, Vec<Sample>)>,
    pub(crate) events: Vec<Event>,
}

impl Sensors {
    /// What can be read on this machine.
    ///
    /// # Errors
    /// If the operating system is not one that can be read at all.
    pub(crate) fn new(watched: &Path) -> Result<Sensors, sysinfo::Error> {
        Ok(Sensors {
            system: System::new()?,
            disks: Disks::new_with_refreshed_list()?,
            networks: Networks::new_with_refreshed_list()?,
            processes: BTreeMap::new(),
            host: host_name(),
            watched: watched.to_owned(),
        })
    }

    /// Reads everything once. Names and units are those of Prometheus' node exporter where it has the same thing.
    pub(crate) fn read(&mut self, now: Timestamp) -> Reading {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.disks.refresh(true);
        self.networks.refresh(true);
        let mut series = Series { host: &self.host, now, series: Vec::new() };
        for (index, cpu) in self.system.cpus().iter().enumerate() {
            series.add("host_cpu_busy_ratio", &[("cpu", &index.to_string())], f64::from(cpu.usage()) / 100.0);
        }
        series.add("host_memory_total_bytes", &[], self.system.total_memory() as f64);
        series.add("host_memory_available_bytes", &[], self.system.available_memory() as f64);
        if let Ok(load) = System::load_average() {
            series.add("node_load1", &[], load.one);
            series.add("node_load5", &[], load.five);
        }
        let mut seen = BTreeSet::new();
        for disk in self.disks.iter() {
            let mount = disk.mount_point().display().to_string();
            if disk.total_space() > 0 && seen.insert(mount.clone()) {
                series.add("node_filesystem_size_bytes", &[("mountpoint", &mount)], disk.total_space() as f64);
                series.add("node_filesystem_avail_bytes", &[("mountpoint", &mount)], disk.available_space() as f64);
            }
        }
        let mut interfaces: Vec<_> = self.networks.iter().collect();
        interfaces.sort_by_key(|(name, _)| *name);
        for (name, network) in interfaces {
            let name = name.to_string_lossy();
            let device = [("device", name.as_ref())];
            series.add("node_network_receive_bytes_total", &device, network.total_received() as f64);
            series.add("node_network_transmit_bytes_total", &device, network.total_transmitted() as f64);
        }
        series.add("demo_folder_bytes", &[], folder_bytes(&self.watched) as f64);
        let series = series.series;
        Reading { series, events: self.process_events(now) }
    }

    /// Starts and ends of processes since the last reading; the first reading only takes stock.
    fn process_events(&mut self, now: Timestamp) -> Vec<Event> {
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing());
        let current: BTreeMap<u32, String> = self
            .system
            .processes()
            .iter()
            .filter(|(_, process)| process.thread_kind().is_none())
            .map(|(pid, process)| (pid.as_u32(), process.name().to_string_lossy().into_owned()))
            .collect();
        let first = self.processes.is_empty();
        let before = std::mem::replace(&mut self.processes, current);
        if first {
            return Vec::new();
        }
        let started = self.processes.iter().filter(|(pid, _)| !before.contains_key(pid));
        let ended = before.iter().filter(|(pid, _)| !self.processes.contains_key(pid));
        let started = started.map(|process| ("process_started", process));
        let ended = ended.map(|process| ("process_ended", process));
        started
            .chain(ended)
            .map(|(kind, (pid, name))| Event {
                id: format!("{kind}-{pid}-{}", now.as_millis()),
                time: now,
                kind: kind.to_owned(),
                fields: BTreeMap::from([
                    ("process".to_owned(), FieldValue::Text(name.clone())),
                    ("pid".to_owned(), FieldValue::Int(i64::from(*pid))),
                    ("host".to_owned(), FieldValue::Text(self.host.clone())),
                ]),
                body: String::new(),
            })
            .collect()
    }
}

/// The machine's name, as messages show it.
pub(crate) fn host_name() -> String {
    System::host_name().unwrap_or_else(|_| "localhost".to_owned())
}

struct Series<'a> {
    host: &'a str,
    now: Timestamp,
    series: Vec<(Labels, Vec<Sample>)>,
}

impl Series<'_> {
    fn add(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let base = [(METRIC_NAME_LABEL, name), ("instance", self.host)];
        let labels = base.into_iter().chain(labels.iter().copied()).collect();
        self.series.push((labels, vec![Sample { timestamp: self.now, value }]));
    }
}

/// The size of the files directly in a folder; a folder that cannot be read counts as empty.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(|data| data.is_file()).map(|data| data.len()).sum()
}
