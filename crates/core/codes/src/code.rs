use std::fmt;

/// Makes the enum from one table. A line of the table has a variant, its number, title and page, and the numbers that
/// were merged into it.
macro_rules! registry {
    ($($area:literal { $($variant:ident $number:literal $title:literal [$($retired:literal)*];)+ })+) => {
        /// A problem that a person can meet. Every variant has a number and a page under docs/errors.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = concat!($number, ": ", $title, ".")] $variant,)+)+
        }

        impl Code {
            /// All codes, in the order of docs/errors/README.md.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            /// The groups of docs/errors/README.md with their codes.
            pub const AREAS: &'static [(&'static str, &'static [Self])] =
                &[$(($area, &[$(Self::$variant,)+]),)+];

            /// The number, such as `K0404`.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$variant => $number,)+)+ }
            }

            /// The problem in a few words.
            pub const fn title(self) -> &'static str {
                match self { $($(Self::$variant => $title,)+)+ }
            }

            /// The text of docs/errors/NUMBER.md.
            pub const fn page(self) -> &'static str {
                match self {
                    $($(Self::$variant => include_str!(concat!("../../../../docs/errors/", $number, ".md")),)+)+
                }
            }

            /// Numbers of earlier versions that this code replaces.
            pub const fn retired(self) -> &'static [&'static str] {
                match self { $($(Self::$variant => &[$($retired,)*],)+)+ }
            }
        }
    };
}

registry! {
    "The configuration file" {
        ConfigUnreadable "K0001" "keyroll.toml cannot be read" [];
        ConfigInvalid "K0004" "keyroll.toml is invalid" ["K0002" "K0003" "K0005" "K0007" "K0008" "K0009" "K0011" "K0012" "K0015" "K0401" "K0501"];
        ConfigUnsupported "K0006" "keyroll.toml asks for something that this version does not support" ["K0010" "K0013"];
        ConfigNotWritten "K0014" "keyroll could not change keyroll.toml" ["K0804" "K0920"];
        ValueInConfig "K0850" "The configuration contains a secret value" [];
        OpenToOtherUsers "K0860" "Another user can read or change a file that keyroll relies on" ["K0822"];
    }
    "Issuers" {
        IssuerSettingsInvalid "K0140" "The issuer settings or the fields of a secret cannot work" ["K0110" "K0115" "K0145" "K0201" "K0207" "K0821" "K0890"];
        SpecInvalid "K0100" "The issuer spec is invalid" ["K0101" "K0109" "K0704"];
        AdminRefused "K0103" "The admin credential is missing, wrong or lacks a right" ["K0102" "K0111" "K0142" "K0203" "K0211"];
        IssuerUnreachable "K0104" "The issuer cannot be reached" ["K0113" "K0141" "K0202"];
        RequestFailed "K0105" "A request to the issuer failed or got no clear answer" ["K0106" "K0108" "K0114" "K0147" "K0151" "K0210" "K0711" "K0831"];
        NoRoomForNewKey "K0107" "The issuer has no room for another key" ["K0875"];
        MintByHand "K0112" "A key must be made by hand, or the one given was not accepted" ["K0870" "K0871"];
        RefusedUsesUnknown "K0116" "Refused uses of the old key cannot be counted" ["K0213" "K0360" "K0714"];
        KeyIdUncertain "K0117" "It is uncertain which key at the issuer is which" ["K0118" "K0708" "K0710"];
        NewKeyRefused "K0718" "The issuer does not accept the new key any more" [];
        OldKeyStillAlive "K0715" "A key that you revoke by hand is still alive" ["K0703" "K0872"];
        NegativeControlAccepted "K0706" "A deliberately wrong credential was accepted" ["K0143" "K0204"];
        LabelUnknown "K0845" "A key at the issuer was made by another keyroll" [];
        SpecHostsChanged "K0866" "The issuer spec now sends credentials to another host" [];
    }
    "Logins of database and message servers" {
        LoginSlotTaken "K0144" "The second login is in use" ["K0205" "K0206" "K0324"];
        LoginReplaced "K0146" "The login carries another credential than expected" ["K0209"];
        ServerUnsuitable "K0148" "This server cannot be rotated safely" ["K0150" "K0212"];
        LoginRightsDiffer "K0208" "The two logins do not have the same rights" ["K0149"];
        PoolerUnusable "K0155" "A PgBouncer pooler cannot be used" ["K0156" "K0157" "K0158" "K0322"];
        SessionsNotEnded "K0159" "Sessions on the old login are still open" [];
    }
    "Copies and files" {
        PlaceNotFound "K0301" "A file does not have the place that keyroll.toml names" ["K0306" "K0307" "K0309" "K0881"];
        CopyDiffers "K0302" "A copy does not hold the expected value, or copies differ" ["K0323" "K0355" "K0832" "K0880"];
        CopyAmbiguous "K0303" "A file cannot be parsed unambiguously" ["K0308"];
        ValueNotWritable "K0304" "A place cannot carry the value" ["K0321"];
        FileUnusable "K0310" "A file is missing, unreadable or of the wrong kind" ["K0305" "K0312" "K0313"];
        FileChanged "K0314" "A file or path changed while keyroll worked on it" ["K0311" "K0318" "K0352"];
        WriteFailed "K0315" "A write failed or its outcome is unknown" ["K0317" "K0359" "K0361" "K0620"];
        FileNotReplaceable "K0316" "A file cannot be replaced safely" ["K0319" "K0320" "K0427"];
    }
    "Services, commands and processes" {
        RestartFailed "K0402" "A restart or fetch command failed" ["K0403" "K0410" "K0430"];
        ProgramNotStarted "K0404" "A program could not be started" ["K0825" "K0853" "K0932"];
        ProcessNotFound "K0405" "The consumer's process cannot be found or signalled" ["K0408" "K0435" "K0865"];
        ServiceUnusable "K0407" "A service or its manager cannot be used" ["K0406" "K0431" "K0432" "K0436" "K0437"];
        ProcessesHidden "K0411" "Processes are not visible to keyroll" ["K0358" "K0910"];
        ContainerUnusable "K0420" "The container engine or a container cannot be used" ["K0421" "K0422" "K0423" "K0424" "K0425" "K0426"];
        AdapterFailed "K0433" "An adapter broke the adapter protocol" [];
        WorkersNotReplaced "K0434" "Not every worker has the new key" ["K0365" "K0445"];
        OpenClawNotUpdated "K0440" "OpenClaw did not take the new key" ["K0443"];
        OtherSourceWins "K0364" "A process takes the value from another source" ["K0441" "K0446"];
        LogUnreadable "K0502" "A consumer's log cannot be read" ["K0413" "K0503"];
        CheckUnusable "K0362" "A check proves nothing or does not pass" ["K0363" "K0409" "K0412" "K0442"];
        ErrorRateHigh "K0368" "The error rate is too high or unknown" [];
    }
    "State folder, journal and sealing key" {
        StateUnusable "K0601" "The state folder cannot be read or written" ["K0611" "K0709" "K0823" "K0833"];
        StateDamaged "K0603" "The journal or the sealed store is damaged" ["K0612" "K0827" "K0835"];
        JournalRestored "K0604" "The journal was restored or its witness is missing" ["K0605" "K0818"];
        NewerKeyroll "K0606" "A newer keyroll wrote this state" ["K0609"];
        StoreOlderThanJournal "K0621" "The sealed store is older than the journal" ["K0702" "K0713" "K0716"];
        VersionRefused "K0613" "The sealed store refuses this version of the secret" ["K0614" "K0616" "K0617"];
        FolderUnsuitable "K0803" "A folder is unsuitable for keyroll's state or keys" ["K0602" "K0608"];
        SealingKeyUnusable "K0826" "The sealing key is missing or belongs to another store" ["K0619" "K0623"];
        SealingKeyNotUnwrapped "K0883" "The sealing key could not be unwrapped or wrapped" ["K0622" "K0882" "K0884" "K0895"];
        OtherMachine "K0861" "The state belongs to another machine" ["K0862"];
    }
    "Sources of truth" {
        TruthUnreachable "K0640" "The source of truth cannot be reached or gave no clear answer" [];
        TruthAccess "K0641" "keyroll has no access to the source of truth" [];
        TruthUnsuitable "K0642" "The secret at the source of truth cannot be used" [];
        ChangedElsewhere "K0643" "The source of truth gives out another value than expected" [];
        PendingElsewhere "K0644" "Another party has a pending version at the source of truth" [];
    }
    "Plans and rotations" {
        NotPlannable "K0809" "A rotation cannot be planned from this configuration" ["K0820"];
        GraceTooShort "K0712" "The old key would die before every consumer has moved" [];
        NoEvidencePossible "K0844" "Nothing could prove that a consumer uses the new value" ["K0847"];
        UndeclaredCopies "K0836" "Undeclared copies of the value were found" [];
        PlanStale "K0838" "The plan no longer matches what is there" ["K0351" "K0353" "K0356" "K0707" "K0839" "K0876"];
        NotPossibleNow "K0846" "The state of a rotation does not allow this command" ["K0837" "K0840" "K0842" "K0879"];
        OtherDriver "K0828" "Another keyroll process holds the lock" ["K0354" "K0607"];
        Stopped "K0834" "keyroll stopped or was asked to stop" ["K0350" "K0705" "K0885"];
        PendingChange "K0851" "A restart would activate more than the new value" ["K0849"];
        RevokeFirstImpossible "K0852" "The old key cannot be revoked before a new one exists" [];
        DueNotRotated "K0854" "A due secret was not rotated unattended" [];
        NothingToRevoke "K0817" "There is no old key to revoke, or it is still needed" ["K0721" "K0877"];
        SplitImpossible "K0873" "The shared key cannot be split this way" ["K0874" "K0878"];
        ConsumerNotAdopted "K0811" "The consumer cannot be adopted or waived" ["K0812" "K0841"];
    }
    "The command line" {
        InternalError "K0801" "keyroll failed because of a bug" ["K0722"];
        UsageWrong "K0802" "The command line is wrong" ["K0808" "K0907"];
        NameNotFound "K0805" "No such secret, rotation or plan, or the name is ambiguous" ["K0615" "K0807" "K0824" "K0911"];
        ValueRefused "K0806" "The value was not accepted" ["K0357" "K0618" "K0830" "K0848"];
        NoCurrentValue "K0816" "keyroll does not know the current value" ["K0829"];
        OutputNotWritten "K0886" "The output could not be written completely" [];
    }
    "Searching and redacting" {
        SearchTargetUnknown "K0931" "keyroll does not know which values to look for" ["K0933"];
        SearchPathUnreadable "K0934" "A file or source to search cannot be read" ["K0921" "K0930"];
        LeaksInputInvalid "K0935" "A baseline, rules or fingerprint file cannot be used" ["K0936" "K0938"];
        FingerprintsNotExported "K0937" "The fingerprints cannot be exported" [];
    }
    "The server" {
        ServerNotStarted "K0951" "The server could not start" [];
        AdminTokenUnusable "K0950" "An admin token cannot be used or made" [];
        IncidentNotContained "K0952" "An incident cannot be contained in this way" [];
        AlertUnreadable "K0953" "An alert cannot be read" [];
        NoticeNotSent "K0954" "A notice was not sent" [];
        ServerRefused "K0955" "The server did not do what was asked" [];
        ValueNotServed "K0956" "keyroll's socket does not give the value out" [];
    }
    "Hosts" {
        HostUnreachable "K0960" "A host cannot be reached" [];
        HostProgramUnusable "K0961" "keyroll-host cannot run on a host" [];
        HostChanged "K0962" "A host is not the machine that was accepted" [];
        HostAnswerUnusable "K0963" "The answers of a host cannot be used" [];
        HostFenced "K0964" "A host refuses this keyroll" [];
        ClusterUnreachable "K0965" "A cluster cannot be reached" [];
        ClusterAccess "K0966" "keyroll has no access to a cluster" [];
        RollOutNotDone "K0967" "A roll-out in a cluster does not complete" [];
        LeaseNotHeld "K0968" "Another keyroll is in charge, or the Lease cannot be renewed" [];
    }
    "The demo" {
        DemoFailed "K0901" "The demo could not run" ["K0902" "K0903" "K0904" "K0905" "K0906"];
    }
}

impl Code {
    /// The code of a number, in any case; a number of an earlier version gives the code that replaced it.
    pub fn parse(number: &str) -> Option<Self> {
        let is = |known: &str| known.eq_ignore_ascii_case(number);
        Self::ALL
            .iter()
            .copied()
            .find(|code| is(code.as_str()) || code.retired().iter().any(|&retired| is(retired)))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// For tests, which compare with the number that a person sees.
impl PartialEq<str> for Code {
    fn eq(&self, number: &str) -> bool {
        self.as_str() == number
    }
}

/// For tests, which compare with the number that a person sees.
impl PartialEq<&str> for Code {
    fn eq(&self, number: &&str) -> bool {
        self.as_str() == *number
    }
}
