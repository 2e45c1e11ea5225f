//! Looks at servers from outside: pages and words, one set of names, discovery, the canary.
