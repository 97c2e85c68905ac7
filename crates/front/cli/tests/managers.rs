//! Services of real process managers, moved by the shipped program: supervisord, pm2, gunicorn, and an external
//! adapter. Each is rotated, rolled back, and rotated with keyroll killed in the middle.

pub(crate) mod adapter;
pub(crate) mod master;
pub(crate) mod pm2;
pub(crate) mod service;
pub(crate) mod supervisor;
