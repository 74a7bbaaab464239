//! `sync` against a model: a table of services that change, and the tables read as a program reads them.

mod adoption;
mod capacity;
mod churn;
mod model;
mod threads;
