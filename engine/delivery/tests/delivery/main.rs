//! What goes over the wire, judged by captures of Alertmanager, by published schemas, by strict doubles and by a real
//! mail server.

mod channels;
mod connection;
mod data;
mod doubles;
mod http;
mod incidents;
mod limits;
mod mail;
mod payloads;
mod samples;
mod schema;
mod secrets;
mod service;
mod smtp;
mod wire;
