/// The largest of the values of all series. `Err` says why it is unknown: one of the values is, or there is none.
pub(super) fn largest(values: impl IntoIterator<Item = Result<f64, String>>) -> Result<f64, String> {
    let mut most = None;
    for value in values {
        let value = value?;
        if value.is_nan() {
            return Err(
                "there is no data to divide by (NaN): add `or vector(0)` where that is no failure".to_owned()
            );
        }
        most = Some(most.map_or(value, |most: f64| most.max(value)));
    }
    most.ok_or_else(|| "no series has data: add `or vector(0)` where that is no failure".to_owned())
}
