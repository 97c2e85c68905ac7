//! The mutants of expressions.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit as _};
use syn::{BinOp, Expr, ExprBinary, ExprMatch, ExprMethodCall, Pat, UnOp};

use super::collect::Collector;
use super::mutation::{Shape, on_one_line};
use super::replacements;

impl Collector<'_> {
    /// The mutants of an expression and of what it contains.
    pub(super) fn expression(&mut self, expr: &Expr) {
        match expr {
            Expr::If(it) => self.condition(&it.cond, true),
            Expr::While(it) => self.condition(&it.cond, false),
            Expr::ForLoop(it) => self.loop_left(&it.body),
            Expr::Match(it) => self.arms(it),
            Expr::MethodCall(it) => self.method_call(expr, it),
            Expr::Call(it) => {
                if let Expr::Path(path) = &*it.func
                    && let Some(name) = path.path.segments.last()
                    && self.facts.bools.contains(&name.ident.to_string())
                {
                    self.negation(expr);
                }
            }
            Expr::Binary(it) => self.binary(it),
            Expr::Unary(it) => {
                if let UnOp::Not(_) = it.op
                    && !self.is_condition(expr)
                {
                    self.instead("negation removed", expr, self.code(&it.expr));
                }
            }
            Expr::Lit(it) => self.literal(it),
            Expr::Path(it) => self.path(it),
            Expr::Macro(it) => return self.known_macro_in(expr, &it.mac),
            // The length must be constant.
            Expr::Repeat(it) => return self.visit_expr(&it.expr),
            Expr::Const(_) => return,
            _ => {}
        }
        visit::visit_expr(self, expr);
    }

    /// A condition as a whole, or the conditions between its `let`s.
    pub(super) fn condition(&mut self, expr: &Expr, may_be_true: bool) {
        match expr {
            Expr::Paren(it) => return self.condition(&it.expr, may_be_true),
            Expr::Lit(_) => return,
            _ => {}
        }
        if contains_let(expr) {
            let span = expr.span();
            let place = (span.byte_range().start..span.byte_range().start, span.start().line);
            let original = on_one_line(&self.code(expr));
            self.add_at("condition", place, original, "false".to_owned(), Shape::NeverMatches);
            return;
        }
        let range = expr.span().byte_range();
        if !self.conditions.insert((range.start, range.end)) {
            return;
        }
        if may_be_true {
            self.instead("condition", expr, "true".to_owned());
        }
        self.instead("condition", expr, "false".to_owned());
    }

    /// An operand whose value no longer matters.
    fn operand(&mut self, expr: &Expr, neutral: &str) {
        if let Expr::Paren(it) = expr {
            return self.operand(&it.expr, neutral);
        }
        let range = expr.span().byte_range();
        if !matches!(expr, Expr::Lit(_)) && self.conditions.insert((range.start, range.end)) {
            self.instead("operand", expr, neutral.to_owned());
        }
    }

    fn binary(&mut self, it: &ExprBinary) {
        let neutral = match it.op {
            BinOp::And(_) => Some("true"),
            BinOp::Or(_) => Some("false"),
            _ => None,
        };
        if let Some(neutral) = neutral {
            for side in [&*it.left, &*it.right] {
                let chained = matches!(side, Expr::Binary(inner) if same_operator(&inner.op, &it.op));
                if !chained && !contains_let(side) {
                    self.operand(side, neutral);
                }
            }
        }
        if contains_let(&it.left) || contains_let(&it.right) {
            return;
        }
        let (left, right) = (self.code(&it.left), self.code(&it.right));
        let operator = match it.op {
            BinOp::And(_) | BinOp::Or(_) => "and, or",
            BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) | BinOp::Eq(_) | BinOp::Ne(_) => {
                "comparison"
            }
            _ => "arithmetic",
        };
        for other in replacements::operators(&it.op, self.is_condition(it)) {
            let text = match replacements::assigns(&it.op) {
                true => format!("{left} {other} {right}"),
                false => format!("({left}) {other} ({right})"),
            };
            let shown = format!("{left} {other} {right}");
            self.add(operator, it, shown, Shape::Expression(text));
        }
    }

    fn negation(&mut self, expr: &Expr) {
        if !self.is_condition(expr) {
            self.instead("negation", expr, format!("!{}", self.code(expr)));
        }
    }

    fn method_call(&mut self, expr: &Expr, it: &ExprMethodCall) {
        let name = it.method.to_string();
        if replacements::judges(&name)
            && let Some(Expr::Closure(closure)) = it.args.last()
        {
            match &*closure.body {
                Expr::Block(block) => {
                    if let Some(syn::Stmt::Expr(last, None)) = block.block.stmts.last() {
                        self.condition(last, true);
                    }
                }
                body => self.condition(body, true),
            }
        }
        if matches!(name.as_str(), "then" | "then_some") {
            self.condition(&it.receiver, true);
        }
        let (whole, name_at) = (expr.span().byte_range(), it.method.span().byte_range());
        if let Some(other) = replacements::method(&name) {
            let before = super::rewrite::part(self.source, whole.start..name_at.start);
            let after = super::rewrite::part(self.source, name_at.end..whole.end);
            let text = format!("{before}{other}{after}");
            self.instead("method", expr, text);
        } else if replacements::is_truth(&name, self.facts) {
            self.negation(expr);
        }
        if replacements::may_be_dropped(&name) {
            self.instead("call dropped", expr, self.code(&it.receiver));
        }
    }

    fn literal(&mut self, it: &syn::ExprLit) {
        match &it.lit {
            syn::Lit::Bool(value) => self.instead("constant", it, (!value.value).to_string()),
            syn::Lit::Int(number) => {
                let text = self.code(it);
                for other in replacements::numbers(&text, number.base10_parse().ok()) {
                    self.instead("number", it, other);
                }
            }
            _ => {}
        }
    }

    /// A constant: a number, or a variant of one of our enums.
    fn path(&mut self, it: &syn::ExprPath) {
        let names: Vec<String> = it.path.segments.iter().map(|part| part.ident.to_string()).collect();
        let Some(last) = names.last() else { return };
        let text = self.code(it);
        if let Some(value) = self.facts.integers.get(last) {
            for other in replacements::numbers(&text, *value) {
                self.instead("number", it, other);
            }
            return;
        }
        let Some(of) = names.iter().rev().nth(1) else { return };
        let of = if of == "Self" { self.of.clone().unwrap_or_default() } else { of.clone() };
        let facts = self.facts;
        for all in [facts.enums.get(&of), facts.constants.get(&of)].into_iter().flatten() {
            let Some(at) = all.iter().position(|one| one == last) else { continue };
            let Some(other) = all.iter().cycle().nth(at + 1).filter(|other| *other != last) else { continue };
            let before = text.strip_suffix(last.as_str()).unwrap_or_default();
            self.instead("variant", it, format!("{before}{other}"));
        }
    }

    /// What is mutated in `matches!`, where it is an expression.
    fn known_macro_in(&mut self, expr: &Expr, of: &syn::Macro) {
        if of.path.is_ident("matches") {
            self.negation(expr);
            self.alternatives_of_matches(expr, of);
        }
    }

    /// A macro in the place of a statement.
    pub(super) fn known_macro(&mut self, of: &syn::Macro) {
        if let Some((expr, parts)) = parts_of_matches(of) {
            self.visit_expr(&expr);
            if let Some(guard) = parts.guard {
                self.visit_expr(&guard);
            }
        }
    }

    fn alternatives_of_matches(&mut self, whole: &Expr, of: &syn::Macro) {
        let Some((expr, parts)) = parts_of_matches(of) else { return };
        let subject = self.code(&expr);
        let guard = parts.guard.as_ref().map(|guard| format!(" if {}", self.code(guard))).unwrap_or_default();
        if let Pat::Or(or) = &parts.pattern {
            for (at, dropped) in or.cases.iter().enumerate() {
                let kept = or.cases.iter().enumerate().filter(|(place, _)| *place != at);
                let kept: Vec<String> = kept.map(|(_, pattern)| self.code(pattern)).collect();
                let text = format!("matches!({subject}, {}{guard})", kept.join(" | "));
                let shown = format!("without {}", self.code(dropped));
                self.add("alternative dropped", whole, shown, Shape::Expression(text));
            }
        }
        if let Some(guard) = &parts.guard {
            self.condition(guard, true);
            self.visit_expr(guard);
        }
        self.visit_expr(&expr);
    }

    /// Arms with the body of the next one, and guards.
    fn arms(&mut self, it: &ExprMatch) {
        let subject = self.code(&it.expr);
        for (at, arm) in it.arms.iter().enumerate() {
            if let Some((_, guard)) = &arm.guard {
                self.condition(guard, true);
            }
            if self.yields_nothing(&arm.body) {
                let shape = Shape::Body { only_if: None, text: String::new() };
                self.add("statement omitted", &arm.body, String::new(), shape);
            }
            let next = it.arms.iter().cycle().skip(at + 1).take(it.arms.len() - 1);
            let mut next = next.filter(|other| !binds(&other.pat));
            let own = on_one_line(&self.code(&arm.body));
            let Some(text) =
                next.by_ref().map(|other| self.code(&other.body)).find(|text| on_one_line(text) != own)
            else {
                continue;
            };
            let shape = Shape::Body { only_if: None, text: text.clone() };
            self.add("arm swapped", &arm.body, text.clone(), shape);
            let Pat::Or(or) = &arm.pat else { continue };
            if !is_plain(&it.expr) || binds(&arm.pat) {
                continue;
            }
            for case in &or.cases {
                let condition = format!("matches!({subject}, {})", self.code(case));
                let shown = format!("{}: {text}", self.code(case));
                let shape = Shape::Body { only_if: Some(condition), text: text.clone() };
                self.add("alternative moved", &arm.body, shown, shape);
            }
        }
    }
}

/// What `matches!` compares with.
struct MatchesParts {
    pattern: Pat,
    guard: Option<Expr>,
}

fn parts_of_matches(of: &syn::Macro) -> Option<(Expr, MatchesParts)> {
    if !of.path.is_ident("matches") {
        return None;
    }
    let parse = |input: syn::parse::ParseStream<'_>| {
        let expr: Expr = input.parse()?;
        input.parse::<syn::Token![,]>()?;
        let pattern = Pat::parse_multi_with_leading_vert(input)?;
        let guard = match input.parse::<Option<syn::Token![if]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        input.parse::<Option<syn::Token![,]>>()?;
        Ok((expr, MatchesParts { pattern, guard }))
    };
    of.parse_body_with(parse).ok()
}

/// Whether a condition binds something with `let`.
fn contains_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(it) => {
            matches!(it.op, BinOp::And(_)) && (contains_let(&it.left) || contains_let(&it.right))
        }
        _ => false,
    }
}

fn same_operator(one: &BinOp, other: &BinOp) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Whether a pattern binds a name.
fn binds(pattern: &Pat) -> bool {
    struct Names(bool);
    impl<'ast> syn::visit::Visit<'ast> for Names {
        fn visit_pat_ident(&mut self, it: &'ast syn::PatIdent) {
            // A name in capitals is a constant or a variant.
            self.0 |= it.ident.to_string().starts_with(|first: char| first.is_lowercase() || first == '_');
            visit::visit_pat_ident(self, it);
        }
    }
    let mut names = Names(false);
    names.visit_pat(pattern);
    names.0
}

/// Whether an expression may be evaluated twice: a place, or a getter.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) => true,
        Expr::Field(it) => is_plain(&it.base),
        Expr::Reference(it) => is_plain(&it.expr),
        Expr::Paren(it) => is_plain(&it.expr),
        Expr::Unary(it) => matches!(it.op, UnOp::Deref(_)) && is_plain(&it.expr),
        Expr::MethodCall(it) => it.args.is_empty() && is_plain(&it.receiver),
        Expr::Tuple(it) => it.elems.iter().all(is_plain),
        _ => false,
    }
}
