//! Parts of a date, in UTC.

use super::numbers::index;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

impl Part {
    /// The part that a function gives.
    pub(super) fn named(function: &str) -> Option<Self> {
        Some(match function {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day_of_week" => Self::DayOfWeek,
            "day_of_month" => Self::DayOfMonth,
            "day_of_year" => Self::DayOfYear,
            "days_in_month" => Self::DaysInMonth,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// That part of the time `seconds` after 1970; NaN for what is no time of this calendar.
    pub(super) fn of(self, seconds: f64) -> f64 {
        let seconds = seconds.trunc();
        // Some ten thousand years around 1970.
        if seconds.is_nan() || seconds.abs() > 3e11 {
            return f64::NAN;
        }
        let days = (seconds / 86_400.0).floor();
        let second_of_day = seconds - days * 86_400.0;
        let (year, month, day) = civil(days);
        let lengths = lengths(year);
        let before: f64 = lengths[..month].iter().sum();
        // Plus zero: a remainder of zero below 1970 would be a negative one.
        0.0 + match self {
            Self::Minute => (second_of_day / 60.0).floor() % 60.0,
            Self::Hour => (second_of_day / 3600.0).floor(),
            // 1 January 1970 was a Thursday.
            Self::DayOfWeek => (days + 4.0).rem_euclid(7.0),
            Self::DayOfMonth => day,
            Self::DayOfYear => before + day,
            Self::DaysInMonth => lengths[month],
            Self::Month => super::numbers::count(month + 1),
            Self::Year => year,
        }
    }
}

fn lengths(year: f64) -> [f64; 12] {
    let divides = |by: f64| year.rem_euclid(by) == 0.0;
    let is_leap = divides(4.0) && (!divides(100.0) || divides(400.0));
    let february = if is_leap { 29.0 } else { 28.0 };
    [31.0, february, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0]
}

/// Year, month from 0, and day from 1 of a day counted from 1970.
fn civil(days: f64) -> (f64, usize, f64) {
    // Years counted from March have their odd day at the end.
    let days = days + 719_468.0;
    let era = (days / 146_097.0).floor();
    let day_of_era = days - era * 146_097.0;
    let year_of_era = ((day_of_era - (day_of_era / 1_460.0).floor()
        + (day_of_era / 36_524.0).floor()
        - (day_of_era / 146_096.0).floor())
        / 365.0)
        .floor();
    let day_of_year = day_of_era
        - (365.0 * year_of_era + (year_of_era / 4.0).floor() - (year_of_era / 100.0).floor());
    let month = ((5.0 * day_of_year + 2.0) / 153.0).floor();
    let day = day_of_year - ((153.0 * month + 2.0) / 5.0).floor() + 1.0;
    let is_next_year = month >= 10.0;
    let year = year_of_era + era * 400.0 + if is_next_year { 1.0 } else { 0.0 };
    (year, index((month + 2.0) % 12.0), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
        let all = |seconds: f64| {
            [Part::Year, Part::Month, Part::DayOfMonth, Part::DayOfWeek, Part::DayOfYear]
                .map(|part| part.of(seconds))
        };
        assert_eq!(all(0.0), [1970.0, 1.0, 1.0, 4.0, 1.0]);
        assert_eq!(all(1_709_208_000.0), [2024.0, 2.0, 29.0, 4.0, 60.0]);
        let sunday = Part::DayOfWeek.of(-11.0 * 86_400.0);
        assert!(sunday == 0.0 && sunday.is_sign_positive());
        assert_eq!(all(-1.0), [1969.0, 12.0, 31.0, 3.0, 365.0]);
        assert_eq!(Part::DaysInMonth.of(951_782_400.0), 29.0);
        assert_eq!((Part::Hour.of(86_399.0), Part::Minute.of(86_399.0)), (23.0, 59.0));
        assert!(Part::Year.of(f64::NAN).is_nan());
    }
}
