//! The transaction stream of any ensemble, followed as an unlisted observer.
