//! Values of SCIM 2.0: filters, paths, PATCH, projections, the discovery documents. No I/O.
