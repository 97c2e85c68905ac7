//! Finds the mutants of one file: which code is mutated, and in which function it stands.

use std::collections::BTreeSet;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Pat, Stmt, Type};

use super::facts::{Facts, type_name};
use super::mutation::{Mutation, Shape, on_one_line};
use super::rewrite::part;

/// Traits whose methods only write text for a person.
const TEXT_TRAITS: [&str; 3] = ["Debug", "Display", "Error"];

/// Every mutant of a file, not yet numbered, and the `const` of functions that can not be constant with mutants in them.
pub(super) fn collect(
    file: &str,
    source: &str,
    parsed: &syn::File,
    facts: &Facts,
) -> (Vec<Mutation>, Vec<Range<usize>>) {
    let mut collector = Collector {
        file,
        source,
        facts,
        scope: Vec::new(),
        of: None,
        conditions: BTreeSet::new(),
        found: Vec::new(),
        erased: Vec::new(),
    };
    collector.visit_file(parsed);
    (collector.found, collector.erased)
}

/// The file that is read, and what was found in it.
pub(super) struct Collector<'a> {
    file: &'a str,
    pub(super) source: &'a str,
    pub(super) facts: &'a Facts,
    /// The type and the functions around the present place.
    scope: Vec<String>,
    /// What `Self` is here.
    pub(super) of: Option<String>,
    /// Conditions that are mutated as a whole: their negation would be found by the same schedules.
    pub(super) conditions: BTreeSet<(usize, usize)>,
    found: Vec<Mutation>,
    erased: Vec<Range<usize>>,
}

impl Collector<'_> {
    /// The code of a part of the tree.
    pub(super) fn code(&self, of: &impl Spanned) -> String {
        part(self.source, of.span().byte_range()).to_owned()
    }

    /// Another expression in the place of this one.
    pub(super) fn instead(&mut self, operator: &'static str, of: &impl Spanned, text: String) {
        self.add(operator, of, text.clone(), Shape::Expression(text));
    }

    /// One more mutant of this code; `mutated` is how it is shown.
    pub(super) fn add(&mut self, operator: &'static str, of: &impl Spanned, mutated: String, shape: Shape) {
        let span = of.span();
        let (range, line) = (span.byte_range(), span.start().line);
        let original = on_one_line(part(self.source, range.clone()));
        self.add_at(operator, (range, line), original, mutated, shape);
    }

    /// One more mutant at this place of the source.
    pub(super) fn add_at(
        &mut self,
        operator: &'static str,
        (range, line): (Range<usize>, usize),
        original: String,
        mutated: String,
        shape: Shape,
    ) {
        let mutated = on_one_line(&mutated);
        if original == mutated {
            return;
        }
        self.found.push(Mutation {
            number: 0,
            file: self.file.to_owned(),
            function: self.scope.join("::"),
            line,
            operator,
            range,
            shape,
            original,
            mutated,
            occurrence: 0,
        });
    }

    /// Whether this code is mutated as a condition.
    pub(super) fn is_condition(&self, of: &impl Spanned) -> bool {
        let range = of.span().byte_range();
        self.conditions.contains(&(range.start, range.end))
    }

    fn within(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        visit(self);
        self.scope.pop();
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if let Some(word) = &signature.constness {
            self.erased.push(word.span().byte_range());
        }
        self.within(signature.ident.to_string(), |this| {
            this.early_returns(signature, block);
            this.visit_block(block);
        });
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            self.within(item.ident.to_string(), |this| visit::visit_item_mod(this, item));
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of_trait = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        let text = of_trait.is_some_and(|it| TEXT_TRAITS.iter().any(|name| it.ident == name));
        if text || is_for_tests(&item.attrs) {
            return;
        }
        let name = type_name(&item.self_ty);
        let before = std::mem::replace(&mut self.of, name.clone());
        self.within(name.unwrap_or_default(), |this| {
            for part in &item.items {
                if let ImplItem::Fn(method) = part
                    && !is_for_tests(&method.attrs)
                {
                    this.function(&method.sig, &method.block);
                }
            }
        });
        self.of = before;
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), |this| {
            for part in &item.items {
                if let syn::TraitItem::Fn(method) = part
                    && let Some(block) = &method.default
                {
                    this.function(&method.sig, block);
                }
            }
        });
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.expression(expr);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.statements(block);
        visit::visit_block(self, block);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        match statement {
            Stmt::Macro(it) => self.known_macro(&it.mac),
            _ => visit::visit_stmt(self, statement),
        }
    }

    // What must be constant, and what decides nothing.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_item_struct(&mut self, _: &'ast syn::ItemStruct) {}
    fn visit_item_macro(&mut self, _: &'ast syn::ItemMacro) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|one| one.path().is_ident("test") || crate::tidy::is_for_tests(one))
}
