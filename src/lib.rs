//! Sessions without cookies for REST services.
