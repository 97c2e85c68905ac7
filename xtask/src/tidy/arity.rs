//! How many values a function really takes: a tuple counts as what it holds.

use std::collections::BTreeMap;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{FnArg, Signature, Type};

/// The most values that a function may take, its receiver apart.
const ARITY_MAX: usize = 7;

/// Functions over the limit that may only shrink: `file.rs function values`.
pub(super) const EXCEPTIONS: &str = "xtask/arity-exceptions.txt";

/// Names each function of a file that takes more than the limit, or that packs parameters into a tuple.
pub(super) fn check(path: &str, text: &str, allowed: &mut Exceptions, wrong: &mut Vec<String>) {
    let Ok(file) = syn::parse_file(text) else {
        wrong.push(format!("{path}: it could not be parsed"));
        return;
    };
    let mut seen = Functions::default();
    seen.visit_file(&file);
    for function in seen.over {
        // By the file's name alone: a file that moves keeps its exceptions.
        let key = format!("{} {}", path.rsplit('/').next().unwrap_or(path), function.name);
        if !allowed.permits(&key, function.values) {
            wrong.push(format!("{path}:{}: {} takes {}", function.line, function.name, function.why()));
        }
    }
}

/// The list of exceptions, and which of them were needed.
pub(super) struct Exceptions(BTreeMap<String, (usize, bool)>);

impl Exceptions {
    pub(super) fn read(text: &str) -> Self {
        let entry = |line: &str| {
            let (key, values) = line.trim().rsplit_once(' ')?;
            Some((key.to_owned(), (values.parse().ok()?, false)))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    fn permits(&mut self, key: &str, values: usize) -> bool {
        let Some((most, used)) = self.0.get_mut(key) else { return false };
        *used = true;
        values <= *most
    }

    /// Exceptions that nothing needs any more.
    pub(super) fn unused(&self) -> impl Iterator<Item = String> + '_ {
        let unused = self.0.iter().filter(|(_, (_, used))| !used);
        unused.map(|(key, _)| format!("{EXCEPTIONS}: nothing needs this line any more: {key}"))
    }
}

/// One function over the limit.
struct Function {
    name: String,
    line: usize,
    values: usize,
    packed: usize,
}

impl Function {
    fn why(&self) -> String {
        match self.packed {
            0 => format!("{} values, {ARITY_MAX} at most", self.values),
            packed => format!("{} values, {packed} of them packed into tuples", self.values),
        }
    }
}

#[derive(Default)]
struct Functions {
    over: Vec<Function>,
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
        });
        if !test {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        let types = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Receiver(_) => None,
            FnArg::Typed(typed) => Some(&*typed.ty),
        });
        let counts: Vec<usize> = types.map(values).collect();
        let packed = counts.iter().filter(|count| **count > 1).sum();
        let all: usize = counts.iter().sum();
        if all > ARITY_MAX || packed > 2 {
            let line = signature.span().start().line;
            self.over.push(Function { name: signature.ident.to_string(), line, values: all, packed });
        }
        visit::visit_signature(self, signature);
    }
}

/// How many values stand in one parameter.
fn values(of: &Type) -> usize {
    if let Type::Tuple(tuple) = of {
        tuple.elems.iter().map(values).sum()
    } else if let Type::Reference(reference) = of {
        values(&reference.elem)
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_counts_as_what_it_holds() {
        let mut wrong = Vec::new();
        let text = "fn two((a, b): (u8, u8)) {}\nfn three((a, b, c): (u8, u8, &(u8,))) {}\n\
                    fn eight(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) {}\n\
                    #[cfg(test)] mod tests { fn three((a, b, c): (u8, u8, u8)) {} }\n";
        let mut allowed = Exceptions::read("x.rs eight 8\nx.rs gone 9\n");
        check("x.rs", text, &mut allowed, &mut wrong);
        assert_eq!(wrong, ["x.rs:2: three takes 3 values, 3 of them packed into tuples"]);
        let unused: Vec<String> = allowed.unused().collect();
        assert!(unused.len() == 1 && unused[0].contains("x.rs gone"), "{unused:?}");
    }
}
