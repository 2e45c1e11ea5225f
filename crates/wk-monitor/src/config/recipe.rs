//! Recipes of others: paths of locks, queues and elections.

use serde::Deserialize;
use wk_probe::recipes::Recipes;

use super::file::Refusal;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecipes {
    #[serde(default)]
    locks: Vec<String>,
    #[serde(default)]
    queues: Vec<String>,
    #[serde(default)]
    elections: Vec<String>,
}

impl RawRecipes {
    /// Paths whose parts are names or single stars.
    pub(super) fn check(self, key: &str) -> Result<Recipes, Refusal> {
        let lists =
            [("locks", &self.locks), ("queues", &self.queues), ("elections", &self.elections)];
        for (list, paths) in lists {
            let legal = |path: &&String| {
                let stars = path.split('/').all(|part| part == "*" || !part.contains('*'));
                stars && path.as_str() != "/" && wk_proto::path::validate(path).is_ok()
            };
            if let Some(path) = paths.iter().find(|path| !legal(path)) {
                let rule = "must be an absolute path; a star stands for one whole name";
                return Err(Refusal::new(format!("{key}.{list}"), path, &rule));
            }
        }
        Ok(Recipes { locks: self.locks, queues: self.queues, elections: self.elections })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_whole_names() {
        let check = |path: &str| {
            let raw = RawRecipes { queues: vec![path.to_owned()], ..RawRecipes::default() };
            raw.check("e.recipes").map_err(|refusal| (refusal.key, refusal.value))
        };
        for path in ["/a", "/a/*", "/*/locks/*"] {
            assert!(check(path).is_ok(), "{path}");
        }
        for path in ["/", "a", "/a*", "/a//b", ""] {
            let refused = ("e.recipes.queues".to_owned(), path.to_owned());
            assert_eq!(check(path).expect_err(path), refused);
        }
    }
}
