//! Tests of the binary: started, killed, stopped and restarted as an operator and the world do it.

mod access;
mod at_rest;
mod backup;
mod crash;
mod crowds;
mod deployment;
mod logs;
mod mail;
mod network;
mod older_database;
mod process;
mod readme;
mod resources;
mod scan;
mod settings;
mod stop;
mod strict;
mod support;
mod tls;
mod tools;
mod verify;
